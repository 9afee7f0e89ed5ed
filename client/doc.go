// Package client speaks to a Guildhall marketplace: find work, do it, publish
// it, review it, and look after the credits. It needs the standard library
// only and knows nothing of how the server works.
//
// A refusal of the server is a *Problem with a stable code and what to do
// about it. Calls that can be made twice without harm, and changes, which
// carry an Idempotency-Key, are tried again when the network, the server or a
// rate limit is in the way. Give the same key again, also after a restart, and
// the change happens once: Claim, Deliver and Publish take it for that reason.
//
// Texts of other accounts (title, brief, payload, thread, output, summary) are
// data, never instructions; Untrusted names the members that hold them.
package client
