#!/usr/bin/env python3
"""Checks config/kubernetes: names that are referred to exist, the Pods pass Pod Security's
"restricted", and the rights are exactly those the agent uses.
usage: manifests_test.py SOURCE_DIR [AGENT_BINARY]
"""
import os
import re
import subprocess
import sys
import unittest

import yaml

SOURCE = sys.argv[1]
AGENT = sys.argv[2] if len(sys.argv) > 2 else ""
FOLDER = os.path.join(SOURCE, "config", "kubernetes")
NAMESPACE = "sluice-system"
NAME = "sluice-agent"

# What the agent asks an API server for; a right more or less fails.
CLUSTER_RIGHTS = {
    ("", "services"): {"get", "list", "watch"},
    ("", "nodes"): {"get", "list", "watch"},
    ("", "namespaces"): {"get", "list", "watch"},
    ("discovery.k8s.io", "endpointslices"): {"get", "list", "watch"},
    ("", "services/status"): {"patch"},
    ("", "events"): {"create", "patch"},
}
OWN_RIGHTS = {("coordination.k8s.io", "leases"): {"get", "create", "update"}}


def read(name):
    with open(os.path.join(FOLDER, name)) as file:
        return list(yaml.safe_load_all(file))


def rights(role):
    found = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kustomization = read("kustomization.yaml")[0]
        cls.objects = {}
        for name in cls.kustomization["resources"]:
            for one in read(name):
                cls.objects[(one["kind"], one["metadata"]["name"])] = one
        cls.pod = cls.objects["Deployment", NAME]["spec"]["template"]
        cls.container = cls.pod["spec"]["containers"][0]

    def test_files_are_listed_and_there(self):
        listed = set(self.kustomization["resources"]) | {"kustomization.yaml", "agent.yaml"}
        there = {name for name in os.listdir(FOLDER) if name.endswith(".yaml")}
        self.assertEqual(there, listed)

    def test_every_object_has_its_place(self):
        cluster_scoped = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
        for (kind, name), one in self.objects.items():
            self.assertIn("apiVersion", one, name)
            expected = None if kind in cluster_scoped else NAMESPACE
            self.assertEqual(one["metadata"].get("namespace"), expected, (kind, name))
        self.assertIn(("Namespace", NAMESPACE), self.objects)

    def test_bindings_name_what_exists(self):
        for (kind, name), one in self.objects.items():
            if not kind.endswith("Binding"):
                continue
            self.assertIn((one["roleRef"]["kind"], one["roleRef"]["name"]), self.objects, name)
            for subject in one["subjects"]:
                self.assertEqual(subject["namespace"], NAMESPACE)
                self.assertIn((subject["kind"], subject["name"]), self.objects, name)
        self.assertIn(("ServiceAccount", self.pod["spec"]["serviceAccountName"]), self.objects)

    def test_rights_are_exactly_those_used(self):
        self.assertEqual(rights(self.objects["ClusterRole", NAME]), CLUSTER_RIGHTS)
        role = self.objects["Role", NAME]
        self.assertEqual(rights(role), OWN_RIGHTS)
        with open(os.path.join(SOURCE, "config", "agent.yaml")) as file:
            lease = yaml.safe_load(file)["kubernetes"]["leaseName"]
        for rule in role["rules"]:
            if rule["verbs"] != ["create"]:
                self.assertEqual(rule["resourceNames"], [lease])

    def test_selectors_find_the_pods(self):
        labels = self.pod["metadata"]["labels"].items()
        deployment = self.objects["Deployment", NAME]["spec"]
        budget = self.objects["PodDisruptionBudget", NAME]["spec"]
        term = self.pod["spec"]["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
        for selector in (deployment["selector"], budget["selector"], term["labelSelector"]):
            self.assertLessEqual(selector["matchLabels"].items(), labels)
        self.assertEqual(deployment["replicas"], 2)
        self.assertEqual(budget["minAvailable"], 1)

    def test_pod_security_restricted(self):
        namespace = self.objects["Namespace", NAMESPACE]
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
                         "restricted")
        pod = self.pod["spec"]["securityContext"]
        self.assertTrue(pod["runAsNonRoot"])
        self.assertGreater(pod["runAsUser"], 0)
        self.assertEqual(pod["seccompProfile"]["type"], "RuntimeDefault")
        container = self.container["securityContext"]
        self.assertFalse(container["allowPrivilegeEscalation"])
        self.assertTrue(container["readOnlyRootFilesystem"])
        self.assertEqual(container["capabilities"], {"drop": ["ALL"]})
        for volume in self.pod["spec"]["volumes"]:
            self.assertLessEqual(set(volume) - {"name"}, {"configMap", "secret"})

    def test_volumes_and_the_files_the_agent_is_told_of(self):
        volumes = {volume["name"]: volume for volume in self.pod["spec"]["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]]
                  for mount in self.container["volumeMounts"]}
        self.assertEqual(len(mounts), len(volumes))
        generator = self.kustomization["configMapGenerator"][0]
        self.assertEqual(generator["namespace"], NAMESPACE)
        folder, name = os.path.split(self.container["args"][1])
        self.assertEqual(mounts[folder]["configMap"]["name"], generator["name"])
        self.assertIn(name, generator["files"])
        folder, name = os.path.split(read("agent.yaml")[0]["redis"]["passwordFile"])
        secret = mounts[folder]["secret"]
        # read_password_file takes root's file if the group may read it and nobody else anything.
        self.assertEqual(secret["defaultMode"], 0o440)
        self.assertEqual(self.pod["spec"]["securityContext"]["fsGroup"],
                         self.pod["spec"]["securityContext"]["runAsGroup"])
        with open(os.path.join(FOLDER, "README.md")) as file:
            self.assertIn(f"generic {secret['secretName']} -n {NAMESPACE} --from-file={name}=",
                          file.read())

    def test_probes_ask_where_the_agent_listens(self):
        with open(os.path.join(SOURCE, "config", "agent.yaml")) as file:
            listen = yaml.safe_load(file)["listen"]
        port = self.container["ports"][0]
        self.assertEqual(port["containerPort"], int(listen.rsplit(":", 1)[1]))
        paths = {}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            paths[probe] = self.container[probe]["httpGet"]["path"]
            self.assertEqual(self.container[probe]["httpGet"]["port"], port["name"])
        self.assertEqual(paths, {"startupProbe": "/healthz", "livenessProbe": "/healthz",
                                 "readinessProbe": "/readyz"})

    def test_image_is_the_one_kustomize_renames(self):
        self.assertEqual([image["name"] for image in self.kustomization["images"]],
                         [self.container["image"]])
        with open(os.path.join(SOURCE, "CMakeLists.txt")) as file:
            version = re.search(r"project\(sluice VERSION (\S+)", file.read())[1]
        self.assertEqual(self.kustomization["images"][0]["newTag"], version)


class Container(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(FOLDER, "Containerfile")) as file:
            self.text = file.read()

    def test_what_is_copied_exists(self):
        for line in re.findall(r"^COPY (?!--from)(.*)$", self.text, re.M):
            for name in line.split()[:-1]:
                self.assertTrue(os.path.exists(os.path.join(SOURCE, name)), name)

    def test_runs_as_the_user_of_the_pod(self):
        pod = read("deployment.yaml")[0]["spec"]["template"]["spec"]["securityContext"]
        self.assertIn(f"\nUSER {pod['runAsUser']}:{pod['runAsGroup']}\n", self.text)

    @unittest.skipUnless(AGENT and os.path.exists(AGENT), "needs the built sluice-agent")
    def test_the_image_has_the_libraries_the_agent_links(self):
        installed = set(re.findall(r"[a-z0-9.+-]+", self.text.split("debian:12-slim")[1]))
        base = {"libc6", "libgcc-s1", "libstdc++6"}
        dynamic = subprocess.run(["readelf", "-d", AGENT], capture_output=True, text=True,
                                 check=True).stdout
        loaded = subprocess.run(["ldd", AGENT], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"NEEDED.*\[(.*)\]", dynamic):
            path = re.search(rf"{re.escape(library)} => (\S+)", loaded)
            if not path:
                continue  # The loader itself.
            owner = ""
            for name in (path[1], path[1].removeprefix("/usr"), os.path.realpath(path[1])):
                found = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
                owner = owner or found.stdout.split(":")[0]
            self.assertIn(owner, installed | base, library)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
