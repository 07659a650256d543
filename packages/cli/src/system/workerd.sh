#!/bin/sh
# Runs workerd for `valet up`. Miniflare calls it in place of workerd (MINIFLARE_WORKERD_PATH), also when it restarts workerd
# after a crash. worker-process.ts sets the variables:
#
#   VALET_WORKERD         the workerd binary
#   VALET_WORKERD_PARENT  the process id of `up`
#   VALET_WORKERD_STATE   names the state that it serves, so that the next `up` finds a workerd that was left behind
#   VALET_WORKERD_LOCK    a file; only the process that holds its lock serves the state
#
# Ensures three things: workerd ends when `up` ends, for whatever reason; only one workerd at a time serves a state; workerd has
# none of the environment of `up`, which holds keys, since agents of the same user can read it in /proc.

if [ "$1" != tied ] && [ "$1" != watched ]; then
  tie() {
    exec env -i PATH="$PATH" TZ=UTC FORCE_COLOR="${FORCE_COLOR:-0}" \
      VALET_WORKERD="$VALET_WORKERD" VALET_WORKERD_PARENT="$VALET_WORKERD_PARENT" \
      VALET_WORKERD_STATE="$VALET_WORKERD_STATE" VALET_WORKERD_LOCK="$VALET_WORKERD_LOCK" "$@"
  }
  # With it the kernel kills workerd when `up` dies. It is part of util-linux; other implementations lack the option.
  if setpriv --pdeathsig KILL true 2>/dev/null; then tie setpriv --pdeathsig KILL "$0" tied "$@"; fi
  tie "$0" watched "$@"
fi
mode=$1
shift

# `up` may have died before the tie held.
[ "$PPID" = "$VALET_WORKERD_PARENT" ] || exit 1

if [ "$mode" = watched ]; then
  # Twice a second (once, where sleep takes no fractions): is our parent still `up`? The loop ends with workerd, whose process id this one is going to be.
  (
    while read -r _ _ _ parent _ <"/proc/$$/stat"; do
      if [ "$parent" != "$VALET_WORKERD_PARENT" ]; then
        kill -KILL $$
        break
      fi
      sleep 0.5 2>/dev/null || sleep 1
    done
  ) </dev/null >/dev/null 2>&1 3>&- &
fi

# workerd inherits the descriptor, and with it the lock: it is released when workerd ends, and no sooner.
exec 9>>"$VALET_WORKERD_LOCK"
if command -v flock >/dev/null; then
  tries=0
  until flock -n 9; do
    tries=$((tries + 1))
    if [ "$tries" -ge 5 ]; then
      echo "another Worker serves this state directory" >&2
      exit 1
    fi
    sleep 1
  done
fi

# A terminal sends these to the whole group; it is `up` that decides on the end, and workerd serves until then.
trap '' INT HUP

exec "$VALET_WORKERD" "$@"
