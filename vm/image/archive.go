// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// writeArchive writes a tree to a new file: a cpio archive, compressed with zstd. Under TCG a guest boots as fast from it
// as from one that is not compressed; gzip costs it 0.3 s more.
func writeArchive(file string, tree *tree) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(compress(out, tree), out.Close())
}

func compress(out io.Writer, tree *tree) error {
	// The checksum would only cost the guest time: QEMU hands over what is on the disk.
	compressed, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false))
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(compressed, 1<<20)
	return errors.Join(tree.archive(buffered), buffered.Flush(), compressed.Close())
}
