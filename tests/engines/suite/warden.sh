# usage: warden.sh FOLDER GROUP
#
# Makes a cell (pid, mount and network namespaces), writes its first process' id to FOLDER/pid, and waits for the end of
# standard input. That comes when the test's process ends, however it does. Then the cell is killed, by which the kernel
# removes its processes, mounts and interfaces, and the folder and the cgroups below GROUP are removed.
set -u
folder=$1
group=$2

# What would be written outside of the folder goes to file systems that nobody else sees. The shell's loop reaps the
# processes that daemons leave behind.
cell='
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi
ip link set lo up
: > "$1/ready"
while :; do sleep 0.2; done
'
unshare --pid --fork --kill-child --mount --net --mount-proc -- sh -c "$cell" cell "$folder" </dev/null &
unshare=$!
until [ -e "$folder/ready" ]; do
  kill -0 "$unshare" 2>/dev/null || exit 1
  sleep 0.02
done
pgrep -P "$unshare" > "$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"

cat >/dev/null

# A frozen process does not die.
find /sys/fs/cgroup -path "/sys/fs/cgroup/freezer$group/*" -name freezer.state |
  while read -r state; do echo THAWED > "$state"; done
kill -KILL "$unshare"
wait "$unshare" 2>/dev/null
for _ in $(seq 100); do
  rm -rf -- "$folder"
  find /sys/fs/cgroup -maxdepth 2 -path "*$group" -type d | while read -r top; do
    find "$top" -depth -type d -exec rmdir -- {} +
  done
  if [ ! -e "$folder" ] && [ -z "$(find /sys/fs/cgroup -maxdepth 2 -path "*$group" -type d)" ]; then
    exit 0
  fi
  sleep 0.1
done 2>/dev/null
exit 1
