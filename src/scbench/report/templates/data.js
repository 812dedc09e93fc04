"use strict";
// Data of the page: gzip in Base64, in an element of the page or in a script beside it. Unpacked when asked for, once.

const unpacked = new Map();
const awaited = new Map();

globalThis.scbenchTake = (name, text) => awaited.get(name)(text);

function get(name) {
  if (!unpacked.has(name)) {
    const element = document.getElementById(`data-${name}`);
    const packed = element ? Promise.resolve(element.textContent) : fromBeside(name);
    unpacked.set(name, packed.then(unpack));
  }
  return unpacked.get(name);
}

async function unpack(text) {
  if (!globalThis.DecompressionStream) throw new Error("This browser is too old to unpack the data of this page.");
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function fromBeside(name) {
  return new Promise((resolve, reject) => {
    awaited.set(name, resolve);
    const script = document.createElement("script");
    script.src = `report_answers/${encodeURIComponent(name)}.js`;
    script.onerror = () => reject(new Error(`${script.getAttribute("src")} is not there: keep that folder beside this page.`));
    document.head.append(script);
  });
}

// Elements are made here only, and text enters them as text: nothing that a model wrote becomes markup.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
