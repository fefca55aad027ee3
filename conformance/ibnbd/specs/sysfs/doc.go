// SPDX-License-Identifier: Apache-2.0

// Package sysfs holds the specs that judge what an administrator sees and writes: every file that the sysfs chapters of the
// seed document name, and those that mainline has beside them. One file a directory of sysfs.
//
// The specs speak of roles and ask the subject's dialect for names. A subject without sysfs is not judged here.
package sysfs
