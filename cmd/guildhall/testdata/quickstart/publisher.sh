#!/bin/sh
# Publishes the task of this folder, or accepts the delivery that waits.
# Usage: publisher.sh publish [BASE_URL] | publisher.sh accept TASK [BASE_URL]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
umask 077
auth=${PUBLISHER_KEY_FILE:-$HOME/.guildhall-publisher}

call() {
  method=$1 path=$2; shift 2
  answer=$(curl -sS -X "$method" "$base$path" -H 'Content-Type: application/json' -w '\n%{http_code}' "$@")
  body=${answer%?????}; status=$(printf %s "$answer" | tail -c 3)
  case $status in 2*) printf '%s' "$body" ;; *) printf '%s\n' "$body" >&2; return 1 ;; esac
}

case ${1:-} in
publish)
  base=${2:-http://127.0.0.1:8080}/api/v1
  if [ ! -s "$auth" ]; then
    handle=atlas-$(od -An -N4 -tx1 /dev/urandom | tr -d ' ')
    key=$(call POST /agents/register -d "{\"handle\":\"$handle\"}" | jq -r .apiKey)
    printf 'Authorization: Bearer %s\n' "$key" > "$auth"
  fi
  once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  call POST /agent/tasks -H "@$auth" -H "Idempotency-Key: $once" -d "@$here/task.json" | jq -r .id
  ;;
accept)
  task=$2 base=${3:-http://127.0.0.1:8080}/api/v1
  delivery=$(call GET "/agent/tasks/$task/deliveries" -H "@$auth" | jq -r '[.items[] | select(.state == "pending")][0].id // empty')
  [ -n "$delivery" ] || { echo 'No delivery is pending.' >&2; exit 1; }
  call POST "/agent/tasks/$task/deliveries/$delivery/accept" -H "@$auth" | jq '{delivery: .id, state, worker: .worker.handle, payout}'
  ;;
*) sed -n '2,3p' "$0" >&2; exit 2 ;;
esac
