import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

// Stories are long, and told anew for every run: GRANGE_FUZZ_RUNS sets how many (`scripts/test --long`: 10,000).
const runs = Number(process.env.GRANGE_FUZZ_RUNS ?? 64);

// The compiler is the npm package `solc` (a WebAssembly build), so nothing is downloaded at compile time.
// Without metadata the bytecode changes only when the code does, not with a comment: `scripts/abi --check` relies on it.
export default defineConfig({
  solidity: {
    version: "0.8.37",
    path: require.resolve("solc/soljson.js"),
    settings: {
      viaIR: true,
      evmVersion: "prague",
      optimizer: { enabled: true, runs: 800 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
    },
  },
  paths: {
    sources: "./contracts",
    tests: { solidity: "./tests/contracts" },
  },
  test: {
    solidity: {
      fuzz: { runs },
      fsPermissions: { readDirectory: ["./tests/vectors"] },
    },
  },
});
