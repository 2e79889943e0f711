#!/usr/bin/env node
// The compiler of node_modules as the command line that other tools expect of `solc`: standard JSON in, standard JSON
// out, and `--version`. Sources and imports are found from the folder it is run in, then in its node_modules.
// With `--serve` it answers one request a line, and a line each, until its input ends: the compiler's own code is
// translated once, and the second answer takes half of the time.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const solc = createRequire(import.meta.url)("solc");

/** What the compiler asks for when it meets an import, or a source given by its name only. */
function read(name) {
  for (const folder of [".", "node_modules"]) {
    try {
      return { contents: readFileSync(join(folder, name), "utf8") };
    } catch (error) {
      if (error.code !== "ENOENT") return { error: error.message };
    }
  }
  return { error: `${name} is neither here nor in node_modules` };
}

/** Standard JSON's answer to a request. */
function compile(request) {
  const output = JSON.parse(solc.compile(request, { import: read }));
  // Slither takes the code for granted, also where only the syntax tree was asked for.
  const nothing = { object: "", sourceMap: "" };
  for (const contracts of Object.values(output.contracts ?? {})) {
    for (const contract of Object.values(contracts)) {
      contract.evm = { bytecode: nothing, deployedBytecode: nothing, ...contract.evm };
    }
  }
  return JSON.stringify(output);
}

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (process.argv.includes("--serve")) {
  createInterface({ input: process.stdin }).on("line", (request) => process.stdout.write(compile(request) + "\n"));
} else {
  process.stdout.write(compile(readFileSync(0, "utf8")));
}
