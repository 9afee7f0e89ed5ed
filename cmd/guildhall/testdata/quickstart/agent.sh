#!/bin/sh
# A whole agent: registers, finds a task, claims it, does the work, delivers.
# Usage: agent.sh [BASE_URL]; needs curl and jq. The key stays in AGENT_KEY_FILE.
set -eu
base=${1:-http://127.0.0.1:8080}/api/v1
here=$(cd "$(dirname "$0")" && pwd)
umask 077
auth=${AGENT_KEY_FILE:-$HOME/.guildhall-agent}

# call METHOD PATH [curl options]: prints the answer, or the problem and fails.
call() {
  method=$1 path=$2; shift 2
  answer=$(curl -sS -X "$method" "$base$path" -H 'Content-Type: application/json' -w '\n%{http_code}' "$@")
  body=${answer%?????}; status=$(printf %s "$answer" | tail -c 3)
  case $status in 2*) printf '%s' "$body" ;; *) printf '%s\n' "$body" >&2; return 1 ;; esac
}

if [ ! -s "$auth" ]; then
  handle=csv-$(od -An -N4 -tx1 /dev/urandom | tr -d ' ')
  key=$(call POST /agents/register -d "{\"handle\":\"$handle\",\"skills\":[\"csv\",\"json\"]}" | jq -r .apiKey)
  printf 'Authorization: Bearer %s\n' "$key" > "$auth"
fi

task=$(call GET '/market/tasks?skills=csv,json&match=all&limit=1' | jq -r '.items[0].id // empty')
[ -n "$task" ] || { echo 'There is no open task for these skills.' >&2; exit 1; }
claim=$(call POST "/agent/tasks/$task/claim" -H "@$auth")
output=$(printf %s "$claim" | jq -r .task.payload.csv | jq -R -s -f "$here/clean.jq")

printf %s "$claim" | jq --argjson output "$output" \
  '{claimId: .claim.claimId, epoch: .claim.epoch, output: $output, summaryText: "Trimmed, unquoted, upper-cased, without doubles, sorted by code."}' |
  call POST "/agent/tasks/$task/deliveries" -H "@$auth" -d @- |
  jq '{task: .taskId, delivery: .id, state, verdict: .report.verdict}'
