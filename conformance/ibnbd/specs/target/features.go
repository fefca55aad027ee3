// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Features that both sides agree on by the marker of SESS_INFO.

var _ = Describe("a target that knows the feature marker", func() {
	var (
		p      *pair.Pair
		export subject.Export
		client *tester.Tester
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{SizeMiB: 1, Discard: true, Cache: true})
		client = newTester(p, export)
	})

	connect := func(ctx SpecContext) *tester.Path {
		GinkgoHelper()
		path := client.NewSession().NewPath(0)
		Expect(path.Connect(ctx)).To(Succeed())
		return path
	}
	// agreed connects a session that has agreed on features; a target that does not know them ends the spec.
	agreed := func(ctx SpecContext, features ibnbd.Features) *tester.Path {
		GinkgoHelper()
		path := connect(ctx)
		answer, err := sayHello(ctx, path, ibnbd.NewSessInfo(features))
		Expect(err).NotTo(HaveOccurred())
		if answer.Marker != ibnbd.Marker || answer.Features&features != features {
			specreport.Skip(verdict.AbilityMissing, "the target does not agree on features %#x", features)
		}
		return path
	}
	open := func(ctx SpecContext, path *tester.Path, access ibnbd.AccessMode, mode ibnbd.IOMode) (ibnbd.OpenResponse, error) {
		request, err := ibnbd.NewOpenRequest(export.Path, access, mode)
		Expect(err).NotTo(HaveOccurred())
		return path.OpenRaw(ctx, tester.Marshal(request))
	}

	It("answers it only when asked, with the features of both", claim.Clauses("IBNBD-COMPAT-006", "IBNBD-COMPAT-012"), func(ctx SpecContext) {
		path := connect(ctx)
		plain := ibnbd.NewSessInfo(ibnbd.AllFeatures)
		plain.Marker = [8]byte{}
		answer, err := sayHello(ctx, path, plain)
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Marker).To(BeZero())
		Expect(answer.Features).To(BeZero())
		everything, err := sayHello(ctx, path, ibnbd.NewSessInfo(^ibnbd.Features(0)))
		Expect(err).NotTo(HaveOccurred())
		Expect(everything.Marker).To(Equal(ibnbd.Marker))
		for _, offer := range []ibnbd.Features{0, ibnbd.FeatureIOMode, ibnbd.FeatureWriteSame | ibnbd.FeatureFlags, 1 << 31} {
			answer, err := sayHello(ctx, path, ibnbd.NewSessInfo(offer))
			Expect(err).NotTo(HaveOccurred())
			Expect(answer.Features).To(Equal(offer&everything.Features), "features for an offer of %#x", offer)
		}
	})

	It("takes operation 5 with data for write-same", claim.Clauses("IBNBD-IO-008"), func(ctx SpecContext) {
		const block, blocks = 512, 16
		path := agreed(ctx, ibnbd.FeatureWriteSame)
		opened, err := open(ctx, path, ibnbd.ReadWrite, ibnbd.AutoIOMode)
		Expect(err).NotTo(HaveOccurred())
		pattern := tester.Stamped(0, block, 3)
		message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWriteZeroes, 0, opened.DeviceID, 0, block*blocks))
		_, err = path.Call(ctx, path.Write(message, pattern), 0)
		Expect(err).NotTo(HaveOccurred())
		got, err := path.ReadAt(ctx, opened.DeviceID, 0, block*blocks)
		Expect(err).NotTo(HaveOccurred())
		for i := range blocks {
			Expect(got[i*block:(i+1)*block]).To(Equal(pattern), "block %d", i)
		}
	})

	It("refuses the other I/O mode while a device is exported in one", claim.Clauses("IBNBD-OPEN-025"), func(ctx SpecContext) {
		first, second := agreed(ctx, ibnbd.FeatureIOMode), agreed(ctx, ibnbd.FeatureIOMode)
		_, err := open(ctx, first, ibnbd.ReadOnly, ibnbd.BlockIO)
		Expect(err).NotTo(HaveOccurred())
		_, err = open(ctx, second, ibnbd.ReadOnly, ibnbd.FileIO)
		Expect(err).To(MatchError(ibtrs.EPERM))
		_, err = open(ctx, second, ibnbd.ReadOnly, ibnbd.BlockIO)
		Expect(err).NotTo(HaveOccurred(), "the same mode")
	})

	It("answers EOPNOTSUPP to what file I/O cannot do", claim.Clauses("IBNBD-IO-022"), func(ctx SpecContext) {
		path := agreed(ctx, ibnbd.FeatureIOMode)
		opened, err := open(ctx, path, ibnbd.ReadWrite, ibnbd.FileIO)
		Expect(err).NotTo(HaveOccurred())
		Expect(opened.IOMode).To(Equal(ibnbd.FileIO))
		message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpSecureErase, 0, opened.DeviceID, 0, 4096))
		_, err = path.Call(ctx, path.Write(message, nil), 0)
		Expect(err).To(MatchError(ibtrs.EOPNOTSUPP))
	})

	It("flushes before a write that says so", claim.Clauses("IBNBD-IO-021"), func(ctx SpecContext) {
		const size = 4096
		path := agreed(ctx, ibnbd.FeatureFlags)
		opened, err := open(ctx, path, ibnbd.ReadWrite, ibnbd.AutoIOMode)
		Expect(err).NotTo(HaveOccurred())
		before := p.Flushes(ctx, export)
		message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, ibnbd.FlagSync|ibnbd.FlagPreflush, opened.DeviceID, 0, size))
		_, err = path.Call(ctx, path.Write(message, make([]byte, size)), 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.Flushes(ctx, export)).To(BeNumerically(">", before), "flushes")
	})
})

var _ = Describe("a target that knows original clients", func() {
	It("tells one of version 1 rotational and I/O mode in bytes 44 and 45", claim.Clauses("IBNBD-COMPAT-003"), func(ctx SpecContext) {
		p := pair.Current()
		export := p.Export(ctx, subject.ExportSpec{SizeMiB: 1})
		client := newTester(p, export)
		for _, mode := range []ibnbd.IOMode{ibnbd.BlockIO, ibnbd.FileIO} {
			path := client.NewSession().NewPath(0)
			Expect(path.Connect(ctx)).To(Succeed())
			answer, err := path.SessInfo(ctx, 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(answer.Version).To(BeEquivalentTo(1))
			request, err := ibnbd.NewOpenRequest(export.Path, ibnbd.ReadOnly, mode)
			Expect(err).NotTo(HaveOccurred())
			opened, err := path.OpenRaw(ctx, tester.Marshal(request))
			Expect(err).NotTo(HaveOccurred())
			told := tester.Marshal(opened)
			Expect(fmt.Sprint(told[44])).To(Equal(p.ExportQueue(ctx, export, "rotational")), "rotational")
			Expect(told[45]).To(BeEquivalentTo(mode), "I/O mode")
			Expect(path.CloseDevice(ctx, opened.DeviceID)).To(Succeed())
		}
	})

	It("lets one in that fills what it does not use, and keeps its keys", claim.Clauses("IBTRS-CONN-052"), func(ctx SpecContext) {
		p := pair.Current()
		opts := p.TargetOptions()
		opts.LegacyClients = true
		p.RestartTarget(ctx, opts)
		path := newTester(p, p.Export(ctx, subject.ExportSpec{})).NewSession().NewPath(0)
		path.Request.FirstConnection = 0
		copy(path.Request.Reserved[:], bytes.Repeat([]byte{0xA5}, len(path.Request.Reserved)))
		Expect(path.Connect(ctx)).To(Succeed())
		Expect(path.KeyRefresh()).To(BeFalse())
	})
})

// sayHello exchanges SESS_INFO, whatever it says.
func sayHello(ctx context.Context, path *tester.Path, m ibnbd.SessInfo) (ibnbd.SessInfo, error) {
	request := path.Read(tester.Marshal(m), ibnbd.SessInfoSize)
	request.CID = 0
	b, err := path.Call(ctx, request, ibnbd.SessInfoSize)
	if err != nil {
		return ibnbd.SessInfo{}, err
	}
	return ibnbd.ParseSessInfoResponse(b)
}
