// SPDX-License-Identifier: Apache-2.0

package scsi

// behaviour is what a unit does with a command: plan checks the fields and says how many bytes move, run executes it with that
// much data.
type behaviour struct {
	plan func(*Task) *Sense
	run  func(*Task, []byte) Result
}

// The behaviours are joined with the forms here and not there, because some report what forms there are.
func init() {
	for f, b := range map[*Form]behaviour{
		TestUnitReady: {planNothing, runNothing}, // there is no unit that is not ready
		RequestSense:  {planParameters, runRequestSense},
		Inquiry:       {planInquiry, runInquiry},
		ReportLUNs:    {planReportLUNs, runReportLUNs},

		ModeSense6:      {planModeSense, runModeSense},
		ModeSense10:     {planModeSense, runModeSense},
		ReadCapacity10:  {planReadCapacity10, runReadCapacity10},
		ReadCapacity16:  {planParameters, runReadCapacity16},
		ReportSupported: {planReportSupported, runReportSupported},

		Read6:  {planRead, runRead},
		Read10: {planRead, runRead},
		Read12: {planRead, runRead},
		Read16: {planRead, runRead},

		Write6:  {planWrite, runWrite},
		Write10: {planWrite, runWrite},
		Write12: {planWrite, runWrite},
		Write16: {planWrite, runWrite},

		Verify10: {planVerify, runVerify},
		Verify12: {planVerify, runVerify},
		Verify16: {planVerify, runVerify},

		SyncCache10: {planSync, runSync},
		SyncCache16: {planSync, runSync},
		WriteSame10: {planWriteSame, runWriteSame},
		WriteSame16: {planWriteSame, runWriteSame},
		Unmap:       {planUnmap, runUnmap},
	} {
		f.plan, f.run = b.plan, b.run
	}
}
