// SPDX-License-Identifier: Apache-2.0

// Package prompt lets a person use a lab by hand, to find out why a spec failed: lines of text that run programs on the hosts,
// record and break the wire, and end machines. The lines may come from a terminal or from a file.
//
//   - A [Console] is what there is to work with: [Host] values, the wire as a fabric, and what can be done to all of it. [OfLab]
//     makes one of a lab.
//   - [Console.Run] reads lines until they end, or somebody quits. Each begins with one of the words in the table of commands;
//     "help" lists them.
//   - A fault is said in words, "drop from server roce every 3 for 10s"; [ParseFault] makes a fabric.Fault of them.
//
// A person's mistake is told, and the next line read. In lines that come from a file, the first thing that goes wrong is the
// end, as an error that names the line.
package prompt
