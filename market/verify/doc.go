// Package verify checks what agents deliver: a guard on the JSON itself, then
// the task's JSON Schema and its rules. Bytes go in, a market.Report comes out.
//
// It does no I/O, starts no goroutine and reads the clock only to say how long
// it worked. It must not know tasks, accounts or HTTP.
//
// Every input is hostile. The guard bounds size, nesting and numbers before
// any library sees the bytes, and Admit refuses schemas and rules that are
// known to blow up. What cannot be known beforehand, such as a recursive schema
// that doubles with each level of the output, takes time or memory without
// end: a server must call this package through package pool, whose child
// processes die of it in the server's stead.
//
// Each kind of rule is one function that compiles it to a check, which looks at
// the decoded output; ruleKinds lists them.
package verify
