# build   both programs into bin/
# test    every test; what a test cannot have here it says, and is skipped
# check   format, vet, static analysis, tidy modules, tests with the race detector; not
#         the rooms, where programs five times slower miss the moments that tests wait for
# sim     the tables of simulated rooms and paths, half an hour; sim-long, five thousand random rooms
# bench   the table of docs/benchmarks.md, in network namespaces (root, or a user namespace)
# demo    one server, three clients, on this machine; make demo IMAGE=path takes yours

.PHONY: build test check sim sim-long bench demo

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

bench: build
	go run ./internal/lab/bench

demo: build
	go run ./internal/demo $(if $(IMAGE),-image '$(IMAGE)')
