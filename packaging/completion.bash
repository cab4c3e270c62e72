# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# bash completion of mirrord. Commands and options are read off its --help, so that they are always right.

_mirrord_cluster_kinds='pod deployment rollout statefulset daemonset replicaset job cronjob service'

# _mirrord_in_cluster: the targets of $kind, by the options that are on the line already.
_mirrord_in_cluster() {
	local i options=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-n | --target-namespace) options+=(-n "${COMP_WORDS[i + 1]}") ;;
		--context | -f | --config-file) options+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
		esac
	done
	"$program" ls -t "$kind" "${options[@]}" 2>/dev/null
}

# _mirrord_targets WORD
_mirrord_targets() {
	local kind=${1%%/*}
	case $1 in
	pid/*) compgen -W "$(cd /proc && printf 'pid/%s ' [0-9]*)" -- "$1" ;;
	netns/*) compgen -W "$(cd /run/netns 2>/dev/null && printf 'netns/%s ' *)" -- "$1" ;;
	docker/* | podman/*) compgen -W "$("$kind" ps --format "$kind/{{.Names}}" 2>/dev/null)" -- "$1" ;;
	*/*) [[ " $_mirrord_cluster_kinds " != *" $kind "* ]] || compgen -W "$(_mirrord_in_cluster)" -- "$1" ;;
	*) compgen -W "pid/ netns/ docker/ podman/ label/ targetless ${_mirrord_cluster_kinds// // }/" -- "$1" ;;
	esac
}

_mirrord() {
	local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "--help --version $("$program" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')" -- "$word")
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [ "${COMP_WORDS[i]}" = -- ]; then
			declare -F _command_offset >/dev/null && _command_offset $((i + 1))
			return
		fi
	done
	case $before in
	-t | --target) mapfile -t COMPREPLY < <(_mirrord_targets "$word") ;;
	--log-file | -f | --config-file | --env-file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "-- --help $("$program" "${COMP_WORDS[1]}" --help 2>/dev/null |
		sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p')" -- "$word") ;;
	esac
	if [ ${#COMPREPLY[@]} = 1 ] && [[ ${COMPREPLY[0]} == */ ]]; then
		compopt -o nospace
	fi
}
complete -F _mirrord mirrord
