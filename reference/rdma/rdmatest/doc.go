// SPDX-License-Identifier: Apache-2.0

// Package rdmatest helps to test what is built on package rdma, and providers of it.
//
// [NoLeaks] proves at the end of a test that nothing was left behind. [Pair] is two connected devices with memory, made in
// one line. [Conformance] is the test that every provider has to pass: each verb, each way to fail, limits, order of
// closing.
package rdmatest
