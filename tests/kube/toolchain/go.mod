// The Go that compiles ../allkube where there is none that is new enough. go.sum says what it must be.
module mirrord/tests/kube/toolchain

go 1.19

require golang.org/toolchain v0.0.1-go1.26.8.linux-amd64
