// Package roster keeps the table of a server's clients: one row for each machine that
// came, which tells how it ended. Like the engines it has no clock or lock: the time is an
// argument, and the caller guards what several goroutines use.
//
// For MXB 2 (Table): Offer keeps the name that an offer brings. Heard makes a row of a
// receiver that speaks in the session, and Report and Goodbye change it. EndSilent marks
// those that are gone, and Verdict counts at the end. Changes says which rows are news.
//
// For MXB 1 (Requesters): Asked counts requests by address.
//
// Both are bounded: MaxRows rows, and as many names.
package roster

// MaxRows bounds each table.
const MaxRows = 4096
