// Reads lines "NAME PORT", and prints what a program with Go's own resolver sees.
package main

import (
	"fmt"
	"net/http"
)

func main() {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		var name, port string
		if _, err := fmt.Scan(&name, &port); err != nil {
			return
		}
		answer, err := client.Get("http://" + name + ":" + port + "/")
		if err != nil {
			fmt.Println(err)
			continue
		}
		answer.Body.Close()
		fmt.Println("connected")
	}
}
