# SPDX-License-Identifier: CC0-1.0
# bash completion for resealctl
_resealctl() {
        local cur=${COMP_WORDS[COMP_CWORD]} verb= i
        local verbs="status install check inspect slots mark jobs watch cancel chain time crl posture policy keys"
        local options="--json --no-wait --below-accepted --ticket --certify --output --color --help --version"
        for ((i = 1; i < COMP_CWORD; i++)); do
                case ${COMP_WORDS[i]} in
                --ticket | --certify | --output | --color) ((i++)) ;;
                -*) ;;
                *)
                        verb=${COMP_WORDS[i]}
                        break
                        ;;
                esac
        done
        case ${COMP_WORDS[COMP_CWORD - 1]} in
        --color)
                COMPREPLY=($(compgen -W "auto always never" -- "$cur"))
                return
                ;;
        esac
        if [[ $cur == -* ]]; then
                COMPREPLY=($(compgen -W "$options" -- "$cur"))
        elif [[ -z $verb ]]; then
                COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
        elif [[ $verb == mark ]]; then
                if ((COMP_CWORD - i == 1)); then
                        COMPREPLY=($(compgen -W "good bad active" -- "$cur"))
                else
                        COMPREPLY=($(compgen -W "booted other" -- "$cur"))
                fi
        elif [[ $verb == crl ]]; then
                if ((COMP_CWORD - i == 1)); then
                        COMPREPLY=($(compgen -W "import" -- "$cur"))
                else
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
        elif [[ $verb == install ]]; then
                COMPREPLY=($(compgen -W "https://" -- "$cur") $(compgen -f -- "$cur"))
        elif [[ $verb == check || $verb == inspect ]]; then
                COMPREPLY=($(compgen -W "https://" -- "$cur"))
        fi
}
complete -o nospace -F _resealctl resealctl
