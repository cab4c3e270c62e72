// SPDX-License-Identifier: MIT

//go:build tools

// Package tool names h2spec, so that `go install` knows its version from go.mod.
package tool

import _ "github.com/summerwind/h2spec/cmd/h2spec"
