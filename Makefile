# build   both programs into bin/
# test    every test; what a test cannot have here it says, and is skipped
# check   format, vet, static analysis, tidy modules, tests with the race detector; not
#         the rooms, where programs five times slower miss the moments that tests wait for
# sim     the tables of simulated rooms and paths, half an hour; sim-long, five thousand random rooms
# fuzz    every fuzz target, one after the other: make fuzz FUZZTIME=10m for longer than a minute each
# bench   the table of docs/benchmarks.md, in network namespaces (root, or a user namespace)
# demo    one server, three clients, on this machine; make demo IMAGE=path takes yours

.PHONY: build test check sim sim-long fuzz bench demo

FUZZTIME ?= 1m

build:
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/multiserver ./cmd/multiclient

test:
	go test -timeout 30m ./...

check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not formatted: run gofmt -w"; exit 1; }
	go vet ./...
	GOOS=darwin go vet ./...
	go mod tidy -diff
	cd tools && go mod tidy -diff
	go -C tools tool -n staticcheck >/dev/null
	"$$(go -C tools tool -n staticcheck)" ./...
	CGO_ENABLED=1 go test -race -timeout 30m $$(go list ./... | grep -v /lab/rooms)

sim:
	go run ./internal/simnet/table
	go run ./internal/simnet/matrix

sim-long:
	go test -count=1 -timeout 0 ./internal/simnet/room -run TestRandomRooms -seeds 5000

fuzz:
	@for folder in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$folder/*_test.go | cut -c6-); do \
			echo "$$folder $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$folder || exit 1; \
		done; \
	done

bench: build
	go run ./internal/lab/bench

demo: build
	go run ./internal/demo $(if $(IMAGE),-image '$(IMAGE)')
