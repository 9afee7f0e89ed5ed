// Package market is the vocabulary of Guildhall and its rules: what an
// account, a task, a claim, a delivery and a transfer are, which transitions a
// task can make, who may make them, and what each does to money.
//
// The package is pure. It knows no database, no HTTP, no clock and no context:
// callers pass the time and the facts, and get back a Change to make true or
// an *Error that says why not. Package store makes changes true.
//
// # States of a task in exclusive mode
//
//	publish ─► open ─claim─► claimed ─deliver─► in_review ─accept─► settled
//	             │ ▲            │  ▲                │
//	             │ └──release───┘  └───reject───────┘
//	             │    lease ends       (attempts left)
//	             ├─cancel─► cancelled
//	             └─deadline─► expired
//
// Every state that is not terminal has a clock (Task.DueAt), so no task can
// hang: an open task expires at its deadline, a claim ends with its lease, a
// silent publisher accepts a delivery that passed its checks when the review
// window ends, and a rejected delivery leaves the task reviewable for appeal
// for AppealWindow.
//
// # Money
//
//   - Publishing moves the reward from the publisher's wallet into the task's
//     escrow, granted credits first, and remembers the split.
//   - A terminal task has an empty escrow: it was paid to one worker, or
//     refunded in exactly the split that funded it.
//   - A transfer debits one ledger account and credits another by the same
//     amount, so the books balance by construction.
//   - Rejecting never moves money.
package market
