// SPDX-License-Identifier: Apache-2.0

// Package ibtrs is the transport of IBNBD: requests for chunks of server memory, carried over RDMA.
//
// A session is one client-to-server relation over a set of paths; a path is a pair of addresses and a set of reliable
// connections; a chunk is a buffer in the server's memory which the client fills by RDMA write. The number of a chunk
// is also the number of the permit to use it, and the number by which its response is known. Mainline Linux calls the
// same protocol RTRS.
//
// # Messages
//
// What is said in private data of the connection manager: [ConnRequest] and [ConnResponse]. What is said once per path
// in plain SENDs: [InfoRequest] and [InfoResponse], which publishes one [Descriptor] for each region of chunks. What
// stands at the end of each request in a chunk: [WriteMessage] or [ReadMessage]; [ParseChunk] finds the parts of a
// request around it. What a server with key refresh answers: [KeyResponse]. What travels as immediate data:
// [Immediate].
//
// All numbers are little-endian, but for immediate data, which the adapter sends most significant byte first. A
// [Geometry], made from the accept of a path, knows the chunk size and how many bits of an immediate name the chunk.
//
// Each message is a plain struct with one field for each field on the wire, reserved bytes included, so that any
// message, legal or not, can be made and is appended byte for byte. Each Parse function reads a message from the start
// of its input and ignores what follows (Size says how much it used). It checks lengths first, then values; the error
// is a [layout.Error] that names the field. After layout.ErrShort the value is not usable; after layout.ErrValue it is
// complete, for those who judge. Reserved bytes are never refused; [Layout] finds them. Appending and parsing do not
// allocate, and parsed lists are parts of the input.
//
// # Addresses
//
// [ParsePath] reads the path syntax of map_device and add_path; [Errno] is an error number as Linux counts them, which
// is what travels, whatever the system this runs on.
package ibtrs
