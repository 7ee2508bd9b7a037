"""The other sides of sinks, with programs of others: `sinks.py make|serve|read ADDRESSES`, JSON."""

import asyncio
import gzip
import http.server
import json
import sys
import threading

# What the stand-in signs with.
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def store(at):
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=at["store"],
        aws_access_key_id="standin",
        aws_secret_access_key="standin",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


async def stream(at, work):
    import nats

    connection = await nats.connect(at["stream"])
    try:
        return await work(connection.jetstream())
    finally:
        await connection.close()


def make(at):
    store(at).create_bucket(Bucket="book")

    async def add(jetstream):
        await jetstream.add_stream(name="book", subjects=["tollbook.>"])

    asyncio.run(stream(at, add))
    return {}


def read(at):
    client = store(at)
    objects = {}
    for one in client.list_objects_v2(Bucket="book").get("Contents", []):
        found = client.get_object(Bucket="book", Key=one["Key"])
        lines = gzip.decompress(found["Body"].read()).splitlines()
        objects[one["Key"]] = [json.loads(line) for line in lines]

    async def all_of(jetstream):
        told = await jetstream.stream_info("book")
        found = []
        for sequence in range(1, told.state.last_seq + 1):
            message = await jetstream.get_msg("book", sequence)
            record = json.loads(message.data)
            found.append({"id": record["id"], "key": message.headers["Nats-Msg-Id"]})
        return found

    return {"store": objects, "stream": asyncio.run(stream(at, all_of))}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as a collector does and batches as a receiver of Standard Webhooks does."""

    protocol_version = "HTTP/1.1"
    taken = []

    def do_POST(self):
        from google.protobuf import json_format
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        from standardwebhooks import Webhook

        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            request = json_format.Parse(body, ExportTraceServiceRequest())
            spans = [
                span
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
            ids = [
                one.value.string_value
                for span in spans
                for one in span.attributes
                if one.key == "tollbook.exchange.id"
            ]
        else:
            Webhook("whsec_" + SECRET).verify(body, dict(self.headers.items()), json_parse=False)
            ids = [json.loads(line)["id"] for line in body.splitlines()]
        Collector.taken.append({"path": self.path, "ids": ids, "key": self.headers["idempotency-key"]})
        self.answer(b"{}")

    def do_GET(self):
        self.answer(json.dumps(Collector.taken).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(at):
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    print(
        json.dumps(
            {
                "store": f"http://{host}:{port}",
                "collector": f"http://127.0.0.1:{collector.server_port}",
            }
        ),
        flush=True,
    )
    # Until whoever started it is done with it.
    sys.stdin.read()
    return {}


WORK = {"make": make, "serve": serve, "read": read}
print(json.dumps(WORK[sys.argv[1]](json.loads(sys.argv[2]))))
