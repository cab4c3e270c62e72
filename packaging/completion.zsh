#compdef mirrord
# SPDX-License-Identifier: MIT
# zsh completion of mirrord. Commands and options are read off its --help, so that they are always right.

# _mirrord_in_cluster: the targets of $kind, by the options that are on the line already.
_mirrord_in_cluster() {
	local -a options
	local i
	for ((i = 3; i < CURRENT; i++)); do
		case ${words[i]} in
		-n | --target-namespace) options+=(-n "${(Q)words[i + 1]}") ;;
		--context | -f | --config-file) options+=("${words[i]}" "${(Q)words[i + 1]}") ;;
		esac
	done
	all=(${(f)"$(${(Q)words[1]} ls -t $kind $options 2>/dev/null)"})
}

_mirrord_targets() {
	local -a kinds=(pod deployment rollout statefulset daemonset replicaset job cronjob service) all
	local kind=${PREFIX%%/*}
	case $PREFIX in
	pid/*) all=(/proc/<->(N:t)) && all=(pid/$^all) ;;
	netns/*) all=(/run/netns/*(N:t)) && all=(netns/$^all) ;;
	docker/* | podman/*) all=(${(f)"$($kind ps --format "$kind/{{.Names}}" 2>/dev/null)"}) ;;
	*/*) (( ! ${kinds[(Ie)$kind]} )) || _mirrord_in_cluster ;;
	*)
		all=(pid netns docker podman label $kinds)
		compadd -S / -a all
		all=(targetless)
		;;
	esac
	compadd -a all
}

_mirrord() {
	local program=${(Q)words[1]} at
	local -a all
	if ((CURRENT == 2)); then
		all=(${(f)"$($program --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')"} --help --version)
	elif ((${words[(Ie)--]} && ${words[(Ie)--]} < CURRENT)); then
		at=${words[(Ie)--]}
		((CURRENT -= at))
		shift $at words
		_normal
		return
	else
		case ${words[CURRENT - 1]} in
		-t | --target)
			_mirrord_targets
			return
			;;
		--log-file | -f | --config-file | --env-file)
			_files
			return
			;;
		*) all=(${(f)"$($program ${words[2]} --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p')"} -- --help) ;;
		esac
	fi
	compadd -a all
}

_mirrord "$@"
