# usage: systemd.sh FOLDER GROUP SYSTEMD
#
# Makes the cgroup2 group GROUP, boots SYSTEMD as the first process of a pid namespace whose cgroups that group is, writes its
# process id to FOLDER/pid, and waits for the end of standard input. That comes when the test's process ends, however it does. Then
# systemd is killed, and with it all that it started, and FOLDER and GROUP are removed.
set -u
folder=$1
group=$2
mkdir "$group" || exit 1

# A target without dependencies is all that it boots; the machine's units are not there. What it would write is on file systems that nobody else
# sees, and the kernel's settings, which are all namespaces', it may not write.
inner='
set -e
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs tmpfs /run
for folder in /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
  mount -t tmpfs tmpfs "$folder"
done
printf "[Unit]\nDefaultDependencies=no\n" >/etc/systemd/system/default.target
export container=stockade
exec "$1" --system --unit=default.target --log-target=null --show-status=no
'
# Only the process that becomes systemd may be in the group: where others are, no controllers are given to groups below.
outer='
mount --make-rprivate /
echo 0 >"$2/cgroup.procs"
exec unshare --cgroup -- sh -c "$3" systemd "$1"
'
unshare --pid --fork --kill-child --mount -- sh -c "$outer" cell "$3" "$group" "$inner" </dev/null &
unshare=$!
while
  kill -0 "$unshare" 2>/dev/null || exit 1
  init=$(pgrep -P "$unshare")
  [ ! -e "/proc/$init/root/run/systemd/private" ]
do
  sleep 0.02
done
# It has set what it sets. A /proc with a mount on it is none that runtimes believe.
nsenter --target "$init" --mount -- umount /proc/sys || exit 1
echo "$init" >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"

cat >/dev/null

# A frozen process does not die.
find "$group" -name cgroup.freeze | while read -r file; do echo 0 >"$file"; done
kill -KILL "$unshare"
wait "$unshare" 2>/dev/null
for _ in $(seq 100); do
  rm -rf -- "$folder"
  [ ! -e "$group" ] || find "$group" -depth -type d -exec rmdir -- {} +
  if [ ! -e "$folder" ] && [ ! -e "$group" ]; then
    exit 0
  fi
  sleep 0.1
done 2>/dev/null
exit 1
