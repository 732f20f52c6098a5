# Open vSwitch with its datapath in user space, one of its own for each host; to be sourced after lib.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

# ovs_start HOST: runs in the host's namespace, without any bridge.
ovs_start() {
    local directory=$lab_directory/ovs-$1
    rm -rf "$directory"
    mkdir "$directory"
    ovsdb-tool create "$directory/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    OVS_RUNDIR=$directory inside "$1" ovsdb-server "$directory/conf.db" --remote="punix:$directory/db.sock" \
        --pidfile="$directory/ovsdb.pid" --unixctl="$directory/ovsdb.ctl" --log-file="$directory/ovsdb.log" \
        --detach --no-chdir -vconsole:off 2>/dev/null
    ovs "$1" --no-wait init
    OVS_RUNDIR=$directory inside "$1" ovs-vswitchd "unix:$directory/db.sock" --pidfile="$directory/vswitchd.pid" \
        --unixctl="$directory/vswitchd.ctl" --log-file="$directory/vswitchd.log" --detach --no-chdir -vconsole:off 2>/dev/null
    process[ovs-$1]=$(<"$directory/vswitchd.pid")
}

# ovs HOST COMMAND...: of ovs-vsctl.
ovs() {
    local host=$1
    shift
    ovs-vsctl --timeout=30 --db="unix:$lab_directory/ovs-$host/db.sock" "$@"
}

# ovs_flow HOST BRIDGE FLOW
ovs_flow() {
    OVS_RUNDIR=$lab_directory/ovs-$1 ovs-ofctl add-flow "$2" "$3"
}
