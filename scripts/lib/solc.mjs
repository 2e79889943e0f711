#!/usr/bin/env node
// The compiler of node_modules as the command line that other tools expect of `solc`: standard JSON in, standard JSON
// out, and `--version`. Sources and imports are found from the folder it is run in, then in its node_modules.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

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

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else {
  const output = JSON.parse(solc.compile(readFileSync(0, "utf8"), { import: read }));
  // Slither takes the code for granted, also where only the syntax tree was asked for.
  const nothing = { object: "", sourceMap: "" };
  for (const contracts of Object.values(output.contracts ?? {})) {
    for (const contract of Object.values(contracts)) {
      contract.evm = { bytecode: nothing, deployedBytecode: nothing, ...contract.evm };
    }
  }
  process.stdout.write(JSON.stringify(output));
}
