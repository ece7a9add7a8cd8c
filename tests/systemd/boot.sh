#!/bin/sh
# Boots systemd as PID 1 of a container whose root is a copy-on-write layer over this machine's own root: all that is
# installed here is there, and nothing that is written there survives. Runs inside a PID and mount namespace of its own
# (see container.py), so that the kernel ends and unmounts everything when this process is gone.
#
#   boot.sh WORK_DIR PREPARED_DIR NSPAWN_OPTION...     PREPARED_DIR is laid over the root before the boot
set -eu
work=$1 prepared=$2
shift 2
# The container's systemd makes its groups below this one, which the caller made and removes.
for group in $CORELANE_CGROUPS; do echo 0 > "$group/cgroup.procs"; done
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=1g corelane-test "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" corelane-test "$work/root"
root=$work/root
cp -a "$prepared/." "$root/"
# A machine of its own, on which nothing of this one is started.
rm -f "$root/.dockerenv"
systemd-id128 new > "$root/etc/machine-id"
: > "$root/etc/fstab"
find "$root/etc/systemd/system" -mindepth 2 -maxdepth 2 -type l \( -path '*.wants/*' -o -path '*.requires/*' \) -delete
for unit in getty.target console-getty.service systemd-logind.service; do
    ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done
rm -rf "$root/var/log/journal"
mkdir -p "$root/etc/tmpfiles.d"
ln -sfn /dev/null "$root/etc/tmpfiles.d/tmp.conf"
# nspawn wants these as folders of its own machine.
mount -t tmpfs -o mode=755 corelane-test /run
mkdir -p /run/systemd /run/lock
exec systemd-nspawn --quiet --boot --directory="$root" --machine=corelane-test --register=no --keep-unit --settings=no \
    --console=pipe --capability=all --private-network --resolv-conf=off --timezone=off --link-journal=no \
    --private-users=no "$@" -- --unit=multi-user.target
