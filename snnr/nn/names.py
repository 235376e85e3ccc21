"""What people call things of networks elsewhere, and what they are called here."""

#: name elsewhere -> what does that here
ELSEWHERE = {
    "zero_grad": "optimizer.zero_grad()",
    "state_dict": "snnr.save(path, network), or {p.name: p.numpy() for p in network.parameters()}",
    "load_state_dict": "snnr.load(path).network, or parameter.assign(array)",
    "named_parameters": "network.parameters(), each with its .name",
    "modules": "network.layers()",
    "named_modules": "network.layers(), each with its .name",
    "named_children": "network.children()",
    "cuda": "network.to('cuda')",
    "cpu": "network.to('cpu')",
    "apply": "a loop over network.layers()",
    "requires_grad_": "an optimizer that gets only the parameters it is to move",
    "register_forward_hook": "with network.observed(f):",
    "register_buffer": "an attribute that is a snnr.Buffer",
    "register_parameter": "an attribute that is a snnr.Parameter",
    "add_module": "an attribute; of a sequence, snnr.nn.Sequential(*network, layer)",
    "append": "snnr.nn.Sequential(*network, layer)",
    "compile": "snnr.compile(network)",
    "save": "snnr.save(path, network)",
    "fit": "snnr.Trainer(network, optimizer, dataset).fit()",
    "reset": "nothing: every call starts from rest",
    "half": "float32, the dtype of all layers",
    "float": "float32, the dtype of all layers",
    "double": "float32, the dtype of all layers; functions take float64",
}
