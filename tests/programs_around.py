"""Whole programs around one thing: a field, a body or a formula that some scenario uses."""


def serve(**parts: str) -> str:
    fields = {"model": "llama2_7b", "cluster": "single(A100_80G)", "workload": "sharegpt"} | parts
    return "\nscenario serve { " + "; ".join(f"{k} = {v}" for k, v in fields.items()) + " }\n"


def count(value: str) -> str:
    return serve(workload=f"sharegpt(requests = {value})")


def workload(field: str) -> str:
    return f"workload own from sharegpt {{ {field} }}" + serve(workload="own")


def model(body: str, **parts: str) -> str:
    return f"\nmodel own from llama2_7b {{ {body} }}" + serve(model="own", **parts)


def device(field: str, **parts: str) -> str:
    return f"hardware own from A100_80G {{ {field} }}" + serve(cluster="single(own)", **parts)


def worker(field: str, **parts: str) -> str:
    cluster = f"\ncluster node {{ worker gpu {{ hardware = A100_80G; {field} }} }}"
    return cluster + serve(cluster="node", **parts)


def cache(field: str) -> str:
    return f"kvcache own from paged {{ {field} }}" + worker("kv = own")


def footprint(formula: str) -> str:
    return cache(f"footprint(r) = {formula}")


def cost(formula: str) -> str:
    return f"cost own {{ iteration = {formula} }}" + worker("cost = own", slo="interactive")


def operator(fields: str) -> str:
    return f"operator Own(k) {{ {fields} }}" + model("graph { own: Own(3) }", slo="interactive")


def workers(parameters: str, number: str) -> str:
    cluster = f"cluster own({parameters}) {{ worker gpu * {number} {{ hardware = A100_80G }} }}"
    return cluster + serve(cluster="own")
