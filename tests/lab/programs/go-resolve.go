// SPDX-License-Identifier: MIT

// go-resolve: Go's own resolver and HTTP client in a static program.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "lookup":
		found, err := net.LookupHost(words[1])
		for _, a := range found {
			fmt.Println(a)
		}
		return err
	case len(words) == 4 && words[0] == "srv":
		_, found, err := net.LookupSRV(words[1], words[2], words[3])
		for _, s := range found {
			fmt.Println(s.Target, s.Port, s.Priority, s.Weight)
		}
		return err
	case len(words) == 2 && words[0] == "txt":
		found, err := net.LookupTXT(words[1])
		fmt.Println(found)
		return err
	case len(words) == 2 && words[0] == "reverse":
		found, err := net.LookupAddr(words[1])
		fmt.Println(found)
		return err
	case len(words) == 1 && words[0] == "hostname":
		name, err := os.Hostname()
		fmt.Println(name)
		return err
	case len(words) == 2 && words[0] == "get":
		client := http.Client{Timeout: 5 * time.Second}
		answer, err := client.Get(words[1])
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		fmt.Println(answer.Status)
		fmt.Print(string(body))
		return err
	}
	return fmt.Errorf("unknown words %q", words)
}
