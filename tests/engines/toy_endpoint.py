"""An OpenAI-compatible endpoint on this machine: a tiny model under transformers' `generate`, and faults in a row."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

KEY = "a-secret-key"


class Toy:
    """`faults` are (status, headers, body) of the next requests for answers; `seen` the bodies of all of them."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.faults, self.seen, self.keys, self.most, self.open = [], [], [], 0, 0
        self.delay, self.lock = 0.0, threading.Lock()

    def answer(self, path, body):
        with self.lock:
            self.seen.append((path, body, time.monotonic()))
            self.open += 1
            self.most = max(self.most, self.open)
            fault = self.faults.pop(0) if self.faults else None
        try:
            time.sleep(self.delay)
            return fault or (200, {}, json.dumps(self._completed(path, body)))
        finally:
            with self.lock:
                self.open -= 1

    def _completed(self, path, body):
        if path == "/v1/chat/completions":
            message = {"role": "assistant", "content": f"{len(body['messages'])} messages"}
            return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
        prompt = body["prompt"]
        ids = self.tokenizer.encode(prompt, add_special_tokens=False) if isinstance(prompt, str) else prompt
        ends = self.model.config.eos_token_id
        with self.lock, torch.inference_mode():
            found = self.model.generate(
                torch.tensor([ids]), max_new_tokens=body["max_tokens"], do_sample=False, pad_token_id=0
            )[0, len(ids) :].tolist()
        stopped = found[-1] in ends
        text = self.tokenizer.decode(found[:-1] if stopped else found, skip_special_tokens=True)
        usage = {"prompt_tokens": len(ids), "prompt_tokens_details": {"cached_tokens": len(ids) // 2}}
        return {"choices": [{"text": text, "finish_reason": "stop" if stopped else "length"}], "usage": usage}


@contextmanager
def served(folder):
    """The toy and its address."""
    toy = Toy(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            toy.keys.append(self.headers["Authorization"])
            refused = self.headers["Authorization"] != f"Bearer {KEY}"
            self._send(401, {}, "{}") if refused else self._send(200, {}, '{"data": [{"id": "tiny-one"}]}')

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(*toy.answer(self.path, body))

        def _send(self, status, headers, text):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield toy, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
