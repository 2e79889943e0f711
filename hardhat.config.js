import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);

// Stories are long, and told anew for every run: GRANGE_FUZZ_RUNS sets how many (`scripts/test --long`: 10,000).
const runs = Number(process.env.GRANGE_FUZZ_RUNS ?? 64);

// The compiler is the npm package `solc` (a WebAssembly build), so nothing is downloaded at compile time.
const compiler = { version: "0.8.37", path: require.resolve("solc/soljson.js") };

// Without metadata the bytecode changes only when the code does, not with a comment: `scripts/abi --check` relies on it.
// More runs than 200 make the market larger for little: at 800 it had 640 bytes more, `place` 80 gas a slot less.
const settings = {
  viaIR: true,
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

// Tests deploy the market as compiled above, so how they are compiled themselves changes nothing but the time it takes:
// with viaIR half a minute for each of the larger ones. Those of the libraries hold the libraries' code, and keep it.
const holdLibraries = ["Merkle.t.sol", "Mountain.t.sol"];
const tests = "tests/contracts";
const overrides = Object.fromEntries(
  readdirSync(new URL(tests, import.meta.url))
    .filter((name) => name.endsWith(".t.sol") && !holdLibraries.includes(name))
    .map((name) => [`${tests}/${name}`, { ...compiler, settings: { ...settings, viaIR: false } }]),
);

export default defineConfig({
  solidity: { compilers: [{ ...compiler, settings }], overrides },
  paths: {
    sources: "./contracts",
    tests: { solidity: `./${tests}` },
  },
  test: {
    solidity: {
      fuzz: { runs },
      fsPermissions: { readDirectory: ["./tests/vectors"] },
    },
  },
});
