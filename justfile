# Recipes for everyday work; `just` alone lists them. Each is one command you could type yourself.

# List the recipes.
default:
    @just --list

# Sets up and runs the demo.
demo *ARGS:
    scripts/demo {{ARGS}}

# All checks and tests, as CI runs them.
test:
    scripts/test

# Checks and tests without real Kafka: no Java needed.
quick:
    scripts/test quick

# Formats the code.
fmt:
    cargo fmt --all

# A million random cases against everything that faces outside (see docs/RELIABILITY.md).
fuzz *CASES:
    scripts/fuzz {{CASES}}

# Rewrites golden files, the checked-in schema and the reference from what the code says now.
update-expected:
    UPDATE_EXPECT=1 UPDATE_EXPECTED=1 cargo test --workspace --locked

# Licences, sources, crate bans; `just deny advisories` asks for known vulnerabilities.
deny *CHECKS:
    scripts/deny {{CHECKS}}

# All benchmarks on real Kafka; rewrites the tables of docs/BENCHMARKS.md. `just bench check` only checks.
bench *NAMES:
    scripts/bench {{NAMES}}

# Kills, freezes and cuts everything at random on real Kafka, and reports; `--seed N` repeats a plan.
soak MINUTES *ARGS:
    cargo test --test soak -- --minutes {{MINUTES}} {{ARGS}}
