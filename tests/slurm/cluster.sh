#!/usr/bin/env bash
# cluster.sh up|down FOLDER: a SLURM of two nodes with two pretended GPUs each, on this machine, from Debian's packages.
# As root; no systemd. Configuration, state and logs lie in FOLDER, but for /etc/slurm: the Snakemake plugin takes
# SLURM_CONF from its jobs.
set -euo pipefail

NODES=(n1 n2)

configure() {
  local folder=$1 node
  mkdir -p "$folder"/{state,log,dev} /etc/slurm
  for node in "${NODES[@]}"; do mkdir -p "$folder/spool/$node"; done
  # GPUs: copies of /dev/null, told apart by CUDA_VISIBLE_DEVICES
  for device in 0 1; do [ -e "$folder/dev/gpu$device" ] || mknod "$folder/dev/gpu$device" c 1 3; done
  cat > /etc/slurm/slurm.conf <<CONF
ClusterName=pretended
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
MinJobAge=600
KillWait=2
InactiveLimit=0
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeAddr=127.0.0.1 NodeHostname=localhost Port=[17001-17002] CPUs=2 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=60 State=UP
PartitionName=gpu Nodes=ALL MaxTime=60 State=UP
CONF
  echo "Name=gpu File=$folder/dev/gpu[0-1]" > /etc/slurm/gres.conf
  echo "CgroupPlugin=cgroup/v1" > /etc/slurm/cgroup.conf # read though nothing is confined; 22.05 knows no "disabled"
}

# daemon FOLDER NAME COMMAND…: detached, so that the caller's shell returns; its process id in FOLDER/pid.NAME
daemon() {
  local folder=$1 name=$2
  shift 2
  setsid nohup "$@" > "$folder/log/$name.out" 2>&1 < /dev/null &
  echo $! > "$folder/pid.$name"
}

until_true() {  # until_true SECONDS COMMAND…
  local seconds=$1 began=$SECONDS
  shift
  until "$@"; do
    [ $((SECONDS - began)) -lt "$seconds" ] || return 1
    sleep 0.2
  done
}

idle() { [ "$(timeout 5 sinfo -h -N -p cpu -o %t 2> /dev/null | grep -cx idle)" = "${#NODES[@]}" ]; }

up() {
  local folder=$1 node
  configure "$folder"
  mkdir -p /run/munge
  chown munge:munge /run/munge
  chmod 755 /run/munge
  daemon "$folder" munged setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged --foreground
  until_true 10 test -S /run/munge/munge.socket.2
  daemon "$folder" slurmctld /usr/sbin/slurmctld -D
  for node in "${NODES[@]}"; do daemon "$folder" "slurmd-$node" /usr/sbin/slurmd -D -N "$node"; done
  until_true 30 idle || { sinfo -N -o '%N %t %E'; tail -n 5 "$folder"/log/*.out; return 1; }
}

down() {
  local folder=$1 file
  timeout 20 scancel --user="$(id -un)" 2> /dev/null || true
  for file in "$folder"/pid.slurmd-* "$folder"/pid.slurmctld "$folder"/pid.munged; do
    [ -f "$file" ] || continue
    kill "$(cat "$file")" 2> /dev/null || true
    rm -f "$file"
  done
  rm -f /etc/slurm/{slurm,gres,cgroup}.conf
}

"$1" "$(realpath "$2")"
