// Reads lines "NAME PORT", and prints what a program of Node sees.
const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const [name, port] = line.split(' ');
  try {
    await (await fetch(`http://${name}:${port}/`)).text();
    console.log('connected');
  } catch (error) {
    // A cause of several attempts has no message of its own.
    console.log(`${error}: ${error.cause?.message || error.cause?.errors?.map(String).join(', ') || error.cause}`);
  }
});
