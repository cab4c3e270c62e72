// SPDX-License-Identifier: MIT
// go-serve ADDRESS: an HTTP server that says who came, and where to.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, peer, r.Context().Value(http.LocalAddrContextKey))
	})
	fmt.Println(http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
