#!/usr/bin/env bash
# run.sh PYTHON [PYTEST'S ARGUMENTS]: install SLURM from Debian's packages, start a cluster, run the tests on it, stop it.
# Where that cannot be, it says why and ends well: nothing was tested.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
shift

skip() {
  echo "tests on SLURM skipped: $1"
  exit 0
}

[ "$(id -u)" = 0 ] || skip "not root, who alone may start its daemons"
[ ! -e /etc/slurm/slurm.conf ] || skip "/etc/slurm/slurm.conf is there, so this machine belongs to a cluster"
if ! command -v slurmctld slurmd sbatch munged > /dev/null; then
  command -v apt-get > /dev/null || skip "slurmctld, slurmd, sbatch or munged is missing, and so is apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge > /dev/null || skip "Debian's packages of SLURM cannot be installed"
fi

folder=$(mktemp -d /tmp/scbench-slurm.XXXXXX)
trap 'tests/slurm/cluster.sh down "$folder"; rm -rf "$folder"' EXIT
tests/slurm/cluster.sh up "$folder"
# two tests at once: they mostly wait for SLURM
SCBENCH_TEST_CLUSTER=$folder "$python" -m pytest tests/slurm -m slurm -n 2 "$@"
