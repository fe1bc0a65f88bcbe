# Sourced by lab: the iSCSI target daemon and its targets.

iqn_prefix=iqn.2026-11.lab.onevolume:

# Its control socket is in the run directory, so that two labs (or a target daemon of the machine) cannot meet.
tgt() { TGT_IPC_SOCKET=$run/tgtd.socket inside tgtadm --lld iscsi "$@"; }

lab_tgtadm() { tgt "$@"; }

# start_tgtd EXPORT: the function that makes the targets. The ports are opened when it is done: to an initiator that
# comes back after a break, a target that is not there yet is one it never asks for again.
start_tgtd() {
    mkdir -p "$run/targets"
    rm -f "$run"/tgtd.socket*
    # a port that nobody knows: with none given, tgtd opens 3260 on all addresses
    TGT_IPC_SOCKET=$run/tgtd.socket spawn tgtd tgtd -f --iscsi portal=127.0.0.1:3999
    await 10 tgt_answers || die "tgtd does not answer: see $run/tgtd.log"
    "$1"
    # The ports of a daemon that was just killed may not be free at once, and tgtd tries only once.
    await 10 open_ports || die "tgtd does not listen on port $(closed_ports | tr '\n' ' '): see $run/tgtd.log"
}

tgt_answers() { tgt --mode sys --op show >/dev/null 2>&1; }

open_ports() {
    move_ports up >/dev/null 2>&1 || true
    [ -z "$(closed_ports)" ]
}

# The ports that should be open and are not.
closed_ports() {
    local port open
    open=$(tgt --mode portal --op show 2>/dev/null) || true
    for port in "${portal_ports[@]}"; do
        grep -q ":$port," <<<"$open" || echo "$port"
    done
}

# The targets every lab has.
default_targets() {
    add_target open1 64
    add_target open2 64
    add_target open3 96
    add_target chap 64 --chap chapuser:chapsecret1234
    add_target mutual 64 --chap chapuser2:chapsecret5678 --mutual mutualuser:mutualsecret99
    add_target shared 64
    add_target shared 80 --lun 2
    add_target big 320
}

# renew_targets: a new daemon with the default targets only, all zeroes. A new daemon also forgets the sessions of
# hosts that died, which tgtd lists for ever.
renew_targets() {
    kill_group tgtd
    rm -rf "$run/targets"
    start_tgtd default_targets
}

# export_again: all targets of a daemon that was stopped, with what is on their units. Initiators that had a session
# find it again.
export_again() {
    local file target unit id line accounts
    for file in "$run"/targets/*.img; do
        [ -e "$file" ] || continue
        target=$(basename "$file" .img)
        unit=${target##*-lun}
        target=${target%-lun*}
        id=$(tid "$target")
        if [ -z "$id" ]; then
            id=$(free_tid)
            tgt --mode target --op new --tid "$id" --targetname "$iqn_prefix$target"
            accounts=()
            [ ! -e "$run/targets/$target.accounts" ] || mapfile -t accounts <"$run/targets/$target.accounts"
            rm -f "$run/targets/$target.accounts"
            for line in "${accounts[@]}"; do
                # shellcheck disable=SC2086 # two words
                account "$target" "$id" $line
            done
            tgt --mode target --op bind --tid "$id" --initiator-address ALL
        fi
        add_unit "$target" "$id" "$unit"
    done
}

lab_target() {
    local verb=${1:-list}
    [ $# = 0 ] || shift
    case $verb in
        add | del | stop | start) lock ;; # one after the other: they look for what is free
    esac
    [ "$verb" = start ] || alive tgtd || die "tgtd of lab '$name' is not running: lab target start, or lab start"
    case $verb in
        list) list_targets ;;
        add) add_target "$@" ;;
        del) del_target "$@" ;;
        resize) resize_unit "$@" ;;
        serial) renumber_unit "$@" ;;
        down | up) move_ports "$verb" "$@" ;;
        stop) kill_group tgtd ;;
        start)
            if alive tgtd; then say "tgtd is up already" && return; fi
            start_tgtd export_again
            ;;
        freeze) kill -STOP "$(cat "$run/tgtd.pid")" ;;
        thaw) kill -CONT "$(cat "$run/tgtd.pid")" ;;
        *) die "no command 'target $verb'" ;;
    esac
}

# tid NAME: the id of a target; nothing when there is none.
tid() {
    tgt --mode target --op show | awk -v name="$iqn_prefix$1" '$1 == "Target" && $3 == name { print $2 + 0 }'
}

need_tid() {
    local id
    id=$(tid "$1")
    [ -n "$id" ] || die "no target '$1'"
    echo "$id"
}

free_tid() {
    tgt --mode target --op show | awk '$1 == "Target" { used[$2 + 0] = 1 } END { i = 1; while (i in used) i++; print i }'
}

# options ARGS...: reads the options of the target commands into lun, chap, mutual, serial, and the rest into words.
options() {
    lun= chap= mutual= serial= words=()
    while [ $# != 0 ]; do
        case $1 in
            --lun | --chap | --mutual | --serial)
                [ $# -ge 2 ] || die "$1 needs a value"
                printf -v "${1#--}" %s "$2"
                shift 2
                ;;
            -*) die "no option '$1'" ;;
            *) words+=("$1") && shift ;;
        esac
    done
    [ -z "$lun" ] || [[ $lun =~ ^[0-9]+$ && $lun -ge 1 ]] || die "bad unit number '$lun': tgt keeps 0 for itself"
}

# add_target NAME SIZE_MIB ...: a target with one unit; with --lun, one more unit of a target that may be there.
add_target() {
    options "$@"
    [ ${#words[@]} = 2 ] || die "target add NAME SIZE_MIB"
    local target=${words[0]} size=${words[1]} id
    [[ $target =~ ^[a-z0-9][a-z0-9.-]*$ ]] || die "bad name of a target: '$target'"
    [[ $size =~ ^[0-9]+$ && $size -ge 1 ]] || die "bad size '$size': a number of MiB"
    id=$(tid "$target")
    if [ -z "$id" ]; then
        id=$(free_tid)
        tgt --mode target --op new --tid "$id" --targetname "$iqn_prefix$target"
        tgt --mode target --op bind --tid "$id" --initiator-address ALL
    elif [ -z "$lun" ] || [ -n "$chap$mutual" ]; then
        die "target '$target' exists already"
    fi
    [ -z "$chap" ] || account "$target" "$id" "$chap"
    [ -z "$mutual" ] || account "$target" "$id" "$mutual" --outgoing
    lun=${lun:-1}
    [ ! -e "$(image "$target" "$lun")" ] || die "target '$target' has a unit $lun already"
    truncate -s "${size}M" "$(image "$target" "$lun")"
    echo "${serial:-LAB-$target-$lun}" >"$run/targets/$target-lun$lun.serial"
    add_unit "$target" "$id" "$lun"
}

image() { echo "$run/targets/$1-lun$2.img"; }

# add_unit NAME TID LUN: exports what the files of the unit say. tgt makes the WWID (NAA 6) of the hexadecimal digits
# in scsi_id and takes 0 for any other letter, so names in it would not make unique ones.
add_unit() {
    local number id
    number=$(cat "$run/targets/$1-lun$3.serial")
    id=$(sha256sum <<<"$1 $3 $number" | cut -c1-16)
    tgt --mode logicalunit --op new --tid "$2" --lun "$3" --backing-store "$(image "$1" "$3")"
    tgt --mode logicalunit --op update --tid "$2" --lun "$3" --params "scsi_sn=$number,scsi_id=$id"
}

account() {
    local target=$1 id=$2 user=${3%%:*} secret=${3#*:}
    [[ $3 == *:* ]] || die "not USER:SECRET: '$3'"
    tgt --mode account --op new --user "$user" --password "$secret" || die "account '$user' exists already"
    echo "$3 ${4:-}" >>"$run/targets/$target.accounts"
    tgt --mode account --op bind --tid "$id" --user "$user" ${4:+"$4"}
}

# del_target NAME [--lun N]. The sessions of a deleted target are cut off.
del_target() {
    options "$@"
    [ ${#words[@]} = 1 ] || die "target del NAME [--lun N]"
    local target=${words[0]} id user
    id=$(need_tid "$target")
    if [ -n "$lun" ]; then
        tgt --mode logicalunit --op delete --tid "$id" --lun "$lun"
        rm -f "$(image "$target" "$lun")" "$run/targets/$target-lun$lun.serial"
        return
    fi
    tgt --mode target --op delete --force --tid "$id"
    while IFS=: read -r user _; do
        tgt --mode account --op delete --user "$user"
    done < <(cat "$run/targets/$target.accounts" 2>/dev/null)
    rm -f "$run/targets/$target".accounts "$run/targets/$target"-lun*
}

# tgt reads size and serial number when it makes a unit, so both changes take the unit away and make it again: its
# initiators see a unit attention, as from an array on which somebody did this.
resize_unit() {
    options "$@"
    [ ${#words[@]} = 2 ] || die "target resize NAME SIZE_MIB [--lun N]"
    lun=${lun:-1}
    [[ ${words[1]} =~ ^[0-9]+$ ]] || die "bad size '${words[1]}': a number of MiB"
    remake_unit "${words[0]}" "$lun" truncate -s "${words[1]}M" "$(image "${words[0]}" "$lun")"
}

renumber_unit() {
    options "$@"
    [ ${#words[@]} = 2 ] || die "target serial NAME SERIAL [--lun N]"
    lun=${lun:-1}
    remake_unit "${words[0]}" "$lun" eval "echo ${words[1]@Q} >'$run/targets/${words[0]}-lun$lun.serial'"
}

# remake_unit NAME LUN COMMAND...: with the command run while the unit is away.
remake_unit() {
    local target=$1 unit=$2 id
    shift 2
    id=$(need_tid "$target")
    [ -e "$(image "$target" "$unit")" ] || die "target '$target' has no unit $unit"
    tgt --mode logicalunit --op delete --tid "$id" --lun "$unit"
    "$@"
    add_unit "$target" "$id" "$unit"
}

# move_ports down|up [PORT]: sessions that are open stay; only new connections are refused.
move_ports() {
    local op=new port closed
    [ "$1" = up ] || op=delete
    closed=" $(closed_ports | tr '\n' ' ') "
    for port in ${2:-"${portal_ports[@]}"}; do
        case $op$closed in
            "new"*" $port "*) ;;
            "new"*) continue ;;
            "delete"*" $port "*) continue ;;
        esac
        tgt --mode portal --op $op --param "portal=$portal_ip:$port"
    done
}

list_targets() {
    local file target unit
    for file in "$run"/targets/*.img; do
        [ -e "$file" ] || continue
        target=$(basename "$file" .img)
        unit=${target##*-lun}
        target=${target%-lun*}
        echo "$iqn_prefix$target $unit $(($(stat -c %s "$file") >> 20)) $(cat "${file%.img}.serial")"
    done
}
