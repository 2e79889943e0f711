import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

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
      fsPermissions: { readDirectory: ["./tests/vectors"] },
    },
  },
});
