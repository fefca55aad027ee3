// SPDX-License-Identifier: Apache-2.0

// Package report shows the outcome of a run to people and programs.
//
//	terminal.go   a table for the person who ran it: areas, what is broken, timings beside their bounds
//	json.go       everything, versioned; report-v1.schema.json is its schema, see Schema
//	junit.go      JUnit XML for build servers: one case for each result, names that never change, no labels in them
//	ktap.go       KTAP for kernel test systems: one line for each clause
//	html.go       one page without external resources; printed, its first sheet is for those who sign
//	matrix.go     the kill matrix, alone, or as a part of that page
//
// Every report is a pure function of a [verdict.Outcome]: no clock, no file system, the same bytes each time. [WriteAll]
// puts all of them into a directory beside the journal.
package report
