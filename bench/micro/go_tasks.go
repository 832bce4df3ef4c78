// Go's side of tasks.cpp: goroutines and channels. (What a coroutine is to await has no name there:
// a call.)
//
//	go_tasks [FILTER] > FILE
//
// Prints what Google Benchmark would (as much of it as table.py reads). REPETITIONS as in micro.sh.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"syscall"
)

const (
	count     = 500_000
	queueSize = 128
)

func joinEach() {
	done := make(chan int)
	for i := 0; i < count; i++ {
		go func(value int) { done <- value }(i)
		<-done
	}
}

func yieldEach() {
	for i := 0; i < count; i++ {
		runtime.Gosched()
	}
}

func passToAndFro() {
	there := make(chan int, 1)
	back := make(chan int, 1)
	const rounds = count / 2
	go func() {
		for i := 0; i < rounds; i++ {
			back <- <-there
		}
	}()
	for i := 0; i < rounds; i++ {
		there <- i
		<-back
	}
}

func getAll() {
	queue := make(chan int, queueSize)
	go func() {
		for i := 0; i < count; i++ {
			queue <- i
		}
	}()
	for i := 0; i < count; i++ {
		<-queue
	}
}

type result struct {
	Name        string  `json:"run_name"`
	Aggregate   string  `json:"aggregate_name"`
	Time        float64 `json:"cpu_time"`
	Unit        string  `json:"time_unit"`
	Allocations float64 `json:"allocations"`
}

// CPU time of all threads, the garbage collector's with them.
func cpuNanoseconds() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// Median, coefficient of variation, allocations for one.
func measure(work func(), repetitions int) (float64, float64, float64) {
	work()
	times := make([]float64, 0, repetitions)
	sum := 0.0
	before := allocations()
	for i := 0; i < repetitions; i++ {
		begin := cpuNanoseconds()
		work()
		time := float64(cpuNanoseconds()-begin) / count
		times = append(times, time)
		sum += time
	}
	each := float64(allocations()-before) / float64(count*repetitions)
	sort.Float64s(times)
	median := (times[(repetitions-1)/2] + times[repetitions/2]) / 2
	mean := sum / float64(repetitions)
	squares := 0.0
	for _, time := range times {
		squares += (time - mean) * (time - mean)
	}
	spread := 0.0
	if repetitions > 1 {
		spread = math.Sqrt(squares/float64(repetitions-1)) / mean
	}
	return median, spread, each
}

func main() {
	runtime.GOMAXPROCS(1) // one core, as everybody here
	filter := "."
	if len(os.Args) > 1 {
		filter = os.Args[1]
	}
	chosen := regexp.MustCompile(filter)
	repetitions := 5
	if text := os.Getenv("REPETITIONS"); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			fmt.Fprintln(os.Stderr, "REPETITIONS is no number:", text)
			os.Exit(2)
		}
		repetitions = number
	}
	rows := []struct {
		name string
		work func()
	}{
		{"task: create, run, join", joinEach},
		{"task: let others run", yieldEach},
		{"queue: hand-over, one by one", passToAndFro},
		{"queue: hand-over, up to 128 wait", getAll},
	}
	results := []result{}
	for _, row := range rows {
		name := row.name + "/Go"
		if !chosen.MatchString(name) {
			continue
		}
		median, spread, each := measure(row.work, repetitions)
		results = append(results, result{name, "median", median, "ns", each},
			result{name, "cv", spread, "ns", 0})
	}
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(map[string]any{"benchmarks": results}); err != nil {
		panic(err)
	}
}
