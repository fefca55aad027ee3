// SPDX-License-Identifier: Apache-2.0

// Package block holds the specs of the block protocol as a user of the mapped disk meets it: who may open a device and how,
// what geometry it shows, and whether what is written is what is read. They need no sysfs: any pair of subjects can run them.
package block
