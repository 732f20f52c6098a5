# What the tests with oracles have in common, to be sourced after lab/lib.sh: frames of the network of oracle.toml, and what
# netvirt makes of them. An oracle is a device with two sockets, the TAPs `machine` and `wire` of the namespace `device`;
# what it does to each frame must be what netvirt does, byte for byte.
# shellcheck shell=bash
# shellcheck disable=SC2154

oracle=tests/interop/oracle.toml
# Packets that a machine sends with a wrong checksum, which nobody may repair (packets.py).
sent_wrong=20
sent_wrong_ipv4=12

rows=()
print_rows() {
    printf '\n| oracle | frames | as netvirt has them |\n|---|---|---|\n'
    printf '%s\n' "${rows[@]}"
}

# The device without anything in it. Nobody in it speaks by himself.
device() {
    local socket
    namespace device
    inside device sysctl --quiet --write net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    for socket in machine wire; do
        ip -n "$(ns device)" tuntap add dev $socket mode tap
        ip -n "$(ns device)" link set $socket mtu 9000 up
    done
}

# replay HOST PORT CAPTURE PLACES OUT: OUT is what netvirt sends to the places because of what PORT receives.
replay() {
    "$netvirt" replay --policy $oracle --host "$1" --in "$2=$3" --capture "$lab_directory/replay.pcapng" \
        >"$lab_directory/replay.log"
    LC_ALL=C tshark -r "$lab_directory/replay.pcapng" -Y "frame.interface_name matches \"^($4)\$\"" -w "$5" 2>/dev/null
}

# compare WHAT INTO OUT-OF FRAMES EXPECTED OUT: puts frames through the device; OUT is what comes out.
compare() {
    local what=$1 verdict
    if verdict=$("$programs/put-through" --into "$(ns device),$2" --out-of "$(ns device),$3" \
        --frames "$4" --expected "$5" --capture "$6"); then
        rows+=("| $oracle_name | $what | ${verdict%% as expected} |")
    else
        wrong "$oracle_name: $what: $verdict"
    fi
}

# judge CAPTURE WRONG: tshark finds nothing malformed, and so many wrong checksums.
judge() {
    tests/dissect "$1" | awk -F'|' -v expected="$2" -v what="$oracle_name" '
        function holds(list, value) { return index("," list ",", "," value ",") > 0 }
        {
            wrong = 0
            for (field = 9; field <= 13; field++) wrong += holds($field, 0)
            bad += wrong
            if ($14 != "" || holds($15, 8388608) && !wrong) { print what ": frame " $1 " is malformed\n    " $0; malformed++ }
        }
        END {
            if (bad != expected) print what ": tshark finds " bad " wrong checksums, not " expected
            exit malformed || bad != expected
        }' || wrong "$oracle_name: in the eyes of tshark"
}
