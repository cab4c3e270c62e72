// SPDX-License-Identifier: MIT

package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
)

// nameServer is CoreDNS with the plugins of ../conf/dns.yaml. The order is the one in which a query passes them: hosts comes last, so
// that it is asked for what isn't the cluster's. (Usually it comes before kubernetes, and answers NXDOMAIN for the cluster's names.)
func nameServer() {
	dnsserver.Directives = []string{"health", "ready", "log", "errors", "cache", "kubernetes", "hosts"}
	coremain.Run()
}
