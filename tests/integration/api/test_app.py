"""create_app() reads no global: two applications live side by side."""

import sys

import aiohttp
from aiohttp import web

from deepaas.api.app import create_app
from deepaas.config import Settings
from deepaas.executors import create_executor
from deepaas.jobs.create import create_jobs
from deepaas.model.loading import ModelRef
from tests.server import MODELS


async def start(ref, folder, **settings):
    executors = {ref: create_executor(ref)}
    app = create_app(Settings(**settings), executors, create_jobs(folder))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


async def test_two_applications_with_different_models(tmp_path):
    one, one_url = await start(
        ModelRef("one", str(MODELS / "echo.py")), tmp_path / "one"
    )
    two, two_url = await start(
        ModelRef("two", str(MODELS / "accept.py")), tmp_path / "two", base_path="/b"
    )
    try:
        async with aiohttp.ClientSession() as session:
            path = f"{one_url}/v2/models/one/predict?n=1"
            async with session.post(path) as answer:
                assert await answer.json() == {"n": 1}
            path = f"{two_url}/b/v2/models/two/predict?accept=image/png"
            async with session.post(path) as answer:
                assert await answer.text() == "image/png"
            async with session.get(f"{two_url}/b/v2/models/one/") as answer:
                assert answer.status == 404
    finally:
        await one.cleanup()
        await two.cleanup()


async def test_no_module_of_a_model_is_imported(tmp_path):
    path = tmp_path / "only_in_workers.py"
    path.write_text(
        "import only_beside_it\n"
        "from marshmallow import fields\n"
        "class Own(fields.Int): pass\n"
        "def get_predict_args(): return {'n': Own()}\n"
        "def predict(n): return n\n"
    )
    (tmp_path / "only_beside_it.py").touch()
    runner, url = await start(ModelRef("m", str(path)), tmp_path / "jobs")
    try:
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/v2/models/m/predict?n=1") as answer:
                assert answer.status == 200
            for path in ("swagger.json", "openapi.json", "v2/models/m/"):
                async with session.get(f"{url}/{path}") as answer:
                    assert answer.status == 200
        assert not [name for name in sys.modules if name.startswith("only_")]
    finally:
        await runner.cleanup()
