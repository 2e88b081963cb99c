// Runs the discovery of Consul of the real Prometheus with the configuration that is given, and prints the targets that it
// finds, as a line of JSON whenever they change.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"gopkg.in/yaml.v2"
)

type configuration struct {
	ScrapeConfigs []struct {
		JobName string             `yaml:"job_name"`
		Consul  []*consul.SDConfig `yaml:"consul_sd_configs"`
	} `yaml:"scrape_configs"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config configuration
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	registry := prometheus.NewRegistry()
	metrics, err := discovery.CreateAndRegisterSDMetrics(registry)
	if err != nil {
		return err
	}
	// Prometheus waits five seconds for further changes.
	manager := discovery.NewManager(context.Background(), logger, registry, metrics, discovery.Updatert(50*time.Millisecond))
	jobs := map[string]discovery.Configs{}
	for _, job := range config.ScrapeConfigs {
		for _, sd := range job.Consul {
			jobs[job.JobName] = append(jobs[job.JobName], sd)
		}
	}
	if err := manager.ApplyConfig(jobs); err != nil {
		return err
	}
	go func() { _ = manager.Run() }()
	last := ""
	for found := range manager.SyncCh() {
		if line := targets(found); line != last {
			fmt.Println(line)
			last = line
		}
	}
	return nil
}

// The labels of every target, in the order of the ids of their services.
func targets(found map[string][]*targetgroup.Group) string {
	all := []map[string]string{}
	for job, groups := range found {
		for _, group := range groups {
			for _, target := range group.Targets {
				labels := map[string]string{"job": job}
				for name, value := range group.Labels.Merge(target) {
					labels[string(name)] = string(value)
				}
				all = append(all, labels)
			}
		}
	}
	sort.Slice(all, func(i, j int) bool {
		return all[i]["__meta_consul_service_id"] < all[j]["__meta_consul_service_id"]
	})
	line, _ := json.Marshal(all)
	return string(line)
}
