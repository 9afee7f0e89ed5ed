# Turns the messy CSV text of stdin (jq -R -s) into the output of the task.
def trim: gsub("^\\s+|\\s+$"; "");
[ split("\n")[] | trim
  | select(. != "" and (startswith("#") | not) and . != "code,name")
  | capture("^(?<code>[^,]*),(?<name>.*)$")
  | { code: (.code | trim | ascii_upcase), name: (.name | trim | sub("^\"(?<x>.*)\"$"; .x) | trim) } ]
| unique_by(.code) | { countries: . }
