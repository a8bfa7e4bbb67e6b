"""The reference of the request rows: the least that FastAPI can answer, on the server settings of the hub.

``uvicorn benchmarks.constant_app:app --loop uvloop --http httptools --no-access-log``
"""

from fastapi import FastAPI, Response

CONTENT = b'{"peft_type": "LORA", "r": 8}\n'
app = FastAPI()


@app.api_route("/constant", methods=["GET", "HEAD"])
async def constant() -> Response:
    """Always the same small answer, made of no look-up at all."""
    return Response(CONTENT, media_type="text/plain")
