# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole console of each start of a machine, kept for who asks later why one start was not like the others.

BUILD_ROOT/consoles/NAME/001.txt, 002.txt, ...: one file per start, also of those that the guest caused itself and also when
the test passes.  First how it was started, then each line with the seconds since power on, last how it ended.  Bounded:
STARTS_MAX files of BYTES_MAX; a run of the same script begins with none."""

import glob
import os

STARTS_MAX = 400
BYTES_MAX = 512 * 1024


class Consoles:
    def __init__(self, directory):
        self.directory = directory
        self.n_starts = self.n_bytes = 0
        self.file = None
        os.makedirs(directory, exist_ok=True)
        for path in glob.glob(f'{glob.escape(directory)}/[0-9]*.txt'):
            os.unlink(path)

    def begin(self, how):
        """A start; the one before must have ended."""
        self.n_starts += 1
        self.n_bytes = 0
        if self.n_starts <= STARTS_MAX:
            self.file = open(f'{self.directory}/{self.n_starts:03}.txt', 'w', encoding='utf-8')
            self._write(f'== {how}, load {os.getloadavg()[0]:.1f}\n')

    def line(self, seconds, text):
        self._write(f'{seconds:8.2f} {text}\n')

    def end(self, how):
        if self.file:
            if self.n_bytes > BYTES_MAX:
                self.file.write(f'== {self.n_bytes - BYTES_MAX} characters more are left out\n')
            self.file.write(f'== {how}\n')
            self.file.close()
            self.file = None

    def _write(self, text):
        if self.file:
            room = BYTES_MAX - self.n_bytes
            self.n_bytes += len(text)
            if room > 0:
                self.file.write(text[:room])
                self.file.flush()
